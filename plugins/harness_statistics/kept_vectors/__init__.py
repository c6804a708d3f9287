"""The statistic `kept_vectors`: keeps directions, or a decoder's rows, for analyses to read."""
