"""Where rows of numbers come from: files, pipes, sockets, serial lines, microphones."""
