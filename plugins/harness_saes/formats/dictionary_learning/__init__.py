"""SAEs of dictionary_learning, among them those of andyrdt, SAEBench and adamkarvonen."""
