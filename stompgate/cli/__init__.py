"""Floor 6: the command line. It turns words into settings and errors into sentences; the work is done on lower floors."""
