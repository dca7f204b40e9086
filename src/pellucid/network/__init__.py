"""The CNN, in the lecture's order: f = head ∘ global pooling ∘ backbone.

    formulas.py    the lecture's formulas in plain NumPy: definition and test oracle
    spec.py        what a network is, as data: NetworkSpec, Block, the smallest image it takes
    layers.py      convolution, activation, pooling, normalisation, global pooling by name
    backbones.py   plain (from blocks), vgg11-19, resnet18-152, timm:NAME
    weights.py     pretrained weights: a local file, or the published ImageNet ones
    ensemble.py    backbones side by side: several networks as one
    classifier.py  Classifier: backbone, pooling, one fully connected block a target
    summary.py     the network layer by layer, as the lecture writes it

Importing this package loads no torch; `formulas` and `spec` never do.
"""
