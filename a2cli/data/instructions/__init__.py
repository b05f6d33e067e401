"""Instruction pairs: a photo of several known objects, a sentence that names one of them, and the photo it asks for."""
