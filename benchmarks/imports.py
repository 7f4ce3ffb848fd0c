"Seconds that imports take over what they build on, each in fresh processes, alternating; medians. Run: python benchmarks/imports.py"
import statistics, subprocess, sys, time

pairs = [('import torch', 'from xceptiontime.runtime import Predictor', 0.4),
         ('from fastai.basics import *', 'from xceptiontime.all import *', 0.5)]

def seconds(code):
    start = time.perf_counter()
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)
    return time.perf_counter()-start

def main(rounds=7):
    print(f'{"base":30} {"seconds":>8}   {"import":45} {"seconds":>8} {"over base":>10} {"limit":>6}')
    for base,ours,limit in pairs:
        for code in (base,ours): seconds(code) # warm the file cache
        times = [(seconds(base),seconds(ours)) for _ in range(rounds)]
        over = statistics.median(o-b for b,o in times)
        b,o = (statistics.median(t) for t in zip(*times))
        print(f'{base:30} {b:8.2f}   {ours:45} {o:8.2f} {over:10.2f} {limit:6.1f}')

if __name__=='__main__': main()
