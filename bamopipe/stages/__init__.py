"""The stages of the pipeline: plain files in, plain files out, one module each."""
