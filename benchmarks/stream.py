"""Eight channels at 200 Hz for two hours through a `StreamingPredictor` on one core: speed relative to real time, and
the time of a push. A line for each chunk size and hop, with the default network of `ts_learner` and windows of 200 ms.
Then the latency from the push of the last sample of a window to its decision, with one sample per push.
Run: python benchmarks/stream.py [minutes]

On a machine with other work, the processor time (cpu) is the cost of the stream, and the elapsed time (wall) is the
time that a user would see there."""
import sys, time
import numpy as np
import torch
from xceptiontime.data.sets import get_myo, get_myo_recordings
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.decisions import Hold, Majority, Reject
from xceptiontime.runtime.stream import StreamingPredictor

rate,window = 200,40

def run(predictor, signal, minutes, hop, chunk):
    "Elapsed and processor seconds per push over `minutes` of repeated `signal`; and the number of windows"
    stream,pushes = StreamingPredictor(predictor, window, hop),minutes*60*rate//chunk
    times,n = [],0
    for i in range(pushes):
        at = i*chunk%(signal.shape[1]-chunk)
        wall,cpu = time.perf_counter(),time.process_time()
        n += len(stream.push(signal[:,at:at+chunk]))
        times.append((time.perf_counter()-wall, time.process_time()-cpu))
    assert n==(pushes*chunk-window)//hop+1
    wall,cpu = np.array(times).T
    return wall, cpu, n

def latency(predictor, signal, windows, decide, hop=10):
    "Seconds from the last sample of each window to its decision, for `windows` windows"
    stream = StreamingPredictor(predictor, window, hop, decide=decide)
    times,at = [],0
    while len(times)<windows:
        x = signal[:,at%signal.shape[1],None] # (channels, 1)
        start = time.perf_counter()
        if stream.push(x): times.append(time.perf_counter()-start)
        at += 1
    return np.array(times)

def main(minutes=120):
    torch.set_num_threads(1)
    X,_,_ = get_myo()
    model = XceptionTime(8, 5, head='linear').eval()
    predictor = Predictor(model, Classification(range(5)), Preprocess().fit(X))
    signal = np.concatenate(get_myo_recordings()[0], 1) # (channels, steps)
    run(predictor, signal, 1, 40, 200) # warm-up
    print(f'{minutes} minutes of 8 channels at {rate} Hz, windows of {window}, one core; '
          'limits: 50 times real time, 25 ms for the 99th percentile of a push')
    print(f"{'chunk':>6}{'hop':>5}{'windows':>9} | {'times real time: cpu':>20}{'wall':>7} | "
          f"{'push ms: median':>15}{'99%':>7}{'largest':>9}{'99% cpu':>9}")
    for hop,chunk in ((40,40),(40,80),(20,40),(10,20),(10,160)):
        wall,cpu,n = run(predictor, signal, minutes, hop, chunk)
        speed = [minutes*60/t.sum() for t in (cpu,wall)]
        ms = [np.median(wall), np.quantile(wall, .99), wall.max(), np.quantile(cpu, .99)]
        ms = [o*1e3 for o in ms]
        print(f'{chunk:6}{hop:5}{n:9} | {speed[0]:20.0f}{speed[1]:7.0f} | '
              f'{ms[0]:15.1f}{ms[1]:7.1f}{ms[2]:9.1f}{ms[3]:9.1f}', flush=True)
    print('\nms from the last sample of a window to its decision, hop 10')
    for decide in ([], [Reject(.8), Majority(5), Hold(6)]):
        ms = 1e3*latency(predictor, signal, minutes*60*rate//10, decide)
        print(f'median {np.median(ms):6.2f}   99% {np.quantile(ms, .99):6.2f}   decide={decide}', flush=True)

if __name__=='__main__': main(*map(int, sys.argv[1:]))
