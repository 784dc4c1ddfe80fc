#!/bin/sh
# Wall-clock seconds of the commands that must start at once, median of 9: sh benchmarks/startup.sh INDEX
set -eu
index=$1
for command in "--help" "info $index" "search $index bank --mode lexical"; do
    # shellcheck disable=SC2086
    python3 - $command <<'PY'
import statistics, subprocess, sys, time
def once():
    start = time.perf_counter()
    subprocess.run(["samespace", *sys.argv[1:]], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start
once()
times = sorted(once() for _ in range(9))
print(f"samespace {' '.join(sys.argv[1:])}: median {statistics.median(times):.3f} s ({times[0]:.3f}-{times[-1]:.3f})")
PY
done
