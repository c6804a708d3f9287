"""Sources of labels of features: Neuronpedia, a file, the contexts that a run has found."""
