"""One harness: jobs for peers, their processes in turns, the records and what they were measured on."""
