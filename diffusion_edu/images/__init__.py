"""What only images need: convolutional networks, MNIST's files, a LeNet, and scores of samples."""
