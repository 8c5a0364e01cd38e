#!/bin/sh
# Daemonises as of old: a grandchild in a session of its own, without the environment, whose parent has gone.
(setsid env -i /bin/sh "$1/grandchild.sh" &)
while :; do sleep 1; done
