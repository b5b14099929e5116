"""Where events can come out of a pipeline of the user's own (`--sink-tap`), one file each."""
