#!/bin/sh
# ccache_launcher.sh CCACHE COMPILER ARGUMENTS...
# A header is precompiled from nothing: with the old result still in place, ccache would see that instead of the header's text
# (-fpch-preprocess) and answer with it.
case " $* " in
  *" -x c++-header "*)
    previous=
    for argument in "$@"; do
      [ "$previous" = -o ] && rm -f "$argument"
      previous=$argument
    done ;;
esac
CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime exec "$@"
