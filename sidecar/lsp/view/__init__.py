"""What a thin client draws of a repository: rows of a tree, marks on files, counts. Made here, so it is made once."""
