"""The lecture's other column: handcrafted features and a classical classifier, beside the network.

    description      a picture becomes a named feature vector
      intensity, texture, shape, edges, filters
    classification   a feature vector becomes probabilities, tuned by patient-grouped folds
      candidates, importance
    baseline         both, on a dataset's own splits, as predictions tables and a record

Description knows no labels, classification knows no pictures, and nothing here needs torch.
"""
