"""Creates and removes what a run owns, in a process without gevent."""
