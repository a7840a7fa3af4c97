"""The harness: it makes jobs for peers, runs the peers' processes in turns, and keeps the results with the machine."""
