"""The statistic `vectors`: keeps directions, or the rows of a decoder, for analyses to read."""
