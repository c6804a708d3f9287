"""Over-refusal: the classes of XSTest and OR-Bench, as a judge that is a model tells them."""
