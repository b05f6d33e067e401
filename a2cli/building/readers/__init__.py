"""Where items come from: one file a layout, each lists its items without decoding them, then loads one."""
