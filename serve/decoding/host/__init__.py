"""A step of a batch as machine code on the host, over the tables that `serve.decoding` keeps."""
