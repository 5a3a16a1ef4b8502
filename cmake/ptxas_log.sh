#!/bin/sh
# ptxas_log.sh <object> <command>...: runs a compile, keeps ptxas's report beside the object for the
# test ptxas_report, and shows everything else.
object=$1
shift
"$@" 2>"$object.ptxas.log"
status=$?
grep -vE '^ptxas info|^ +[0-9]+ bytes (stack frame|cumulative)|^$' "$object.ptxas.log" >&2
exit $status
