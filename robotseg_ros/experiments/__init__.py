"""Questions about the network answered by measurement: `robotseg experiment NAME` writes a table and a plot of each."""
