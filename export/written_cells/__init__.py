"""Cells written out in small operators: one step of a graph becomes an LSTM, GRU or RNN by what it computes."""
