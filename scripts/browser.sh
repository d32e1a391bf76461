#!/bin/sh
# A browser for the tests of the pages: installed where that needs no asking (root in a container), else named.
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "test: Chromium, to open the pages with"
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null && exit 0
fi
echo "missing: chromium (opens the pages in tests). Install it with: apt-get install chromium" >&2
exit 1
