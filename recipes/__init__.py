"""The shipped recipes, found by name: `usrn fit camvid_1_8` reads camvid_1_8.toml of this folder."""
