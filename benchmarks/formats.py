"Time and peak memory of `read_ts` and of aeon's loader on each `.ts` file in aeon's wheel: medians, alternating"
import sys, tracemalloc
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from aeon.datasets import load_from_ts_file
from xceptiontime.data.formats import read_ts

def seconds(f, path, n):
    t = perf_counter()
    for _ in range(n): f(path)
    return (perf_counter()-t)/n

def peak(f, path):
    "Peak memory of reading, and the size of the resulting arrays, in bytes"
    tracemalloc.start()
    X = f(path)[0]
    p = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return p,sum(x.nbytes for x in X)

def main(rounds=9):
    print(f"{'file':36}{'ours ms':>9}{'aeon ms':>9}{'ratio':>7}{'array kB':>10}{'peak/array':>12}")
    for path in sorted((Path(find_spec('aeon').origin).parent/'datasets'/'data').rglob('*.ts')):
        path = str(path)
        ours,aeons = [],[]
        n = max(1, int(.01/seconds(read_ts, path, 1)))     # small files several times per round
        for _ in range(rounds):
            ours.append(seconds(read_ts, path, n))
            aeons.append(seconds(load_from_ts_file, path, n))
        (p,size),ratio = peak(read_ts, path),median([a/b for a,b in zip(ours, aeons)])
        print(f'{Path(path).name:36}{median(ours)*1e3:9.3f}{median(aeons)*1e3:9.3f}{ratio:7.2f}{size/1e3:10.1f}{p/size:12.2f}')

if __name__=='__main__': main(*map(int, sys.argv[1:]))
