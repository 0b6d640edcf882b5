"""Where steps and solutions end in what models write. Pure text, standard library only."""
