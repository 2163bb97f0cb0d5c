#!/bin/sh
# The node by mkosi.
set -e
cd @DIR@/peers/mkosi
exec mkosi --force build
