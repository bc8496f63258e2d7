"""What is concluded from the data of a trial."""
