"""Reads in words what a fine-tune did to the first tokens of text: logit lens and patchscope."""
