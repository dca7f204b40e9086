"""How weights are found: the plan, augmentation, the loss, the loop, stopping and checkpoints.

Each module is imported by its own name; importing the room loads nothing, so that a plan can be
read without torch.
"""
