"""Record any Hugging Face `Trainer`: one callback, the hooks it needs, and the signals table that its records become.

`trainer_hooks` delivers every training step as a `Step` with the numbers of its rows; `recorder` turns steps into records in
files (`store`), and `table` turns those into signals. `hf_compat` holds everything that transformers does not promise.
"""
