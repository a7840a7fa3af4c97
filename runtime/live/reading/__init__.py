"""Numbers from the bytes of files and pipes: arrays, recordings, text. Every size is checked before it is used."""
