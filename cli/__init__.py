"""The command line, one file per verb; installed as `usrn_cli`."""
