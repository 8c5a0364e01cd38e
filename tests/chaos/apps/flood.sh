#!/bin/sh
while :; do
    line=0
    while [ $line -lt 200 ]; do
        line=$((line + 1))
        echo "$$ $line: a program that cannot keep anything to itself and so tells the log of it"
    done
    sleep 0.1
done
