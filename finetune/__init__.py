"""Training: data, tokenizer, pre-training, adapters, bundles. It knows serving only as something to be measured."""
