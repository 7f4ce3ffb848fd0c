"""A small web server with one Predictor under load: requests per second, wrong predictions, memory.

    python benchmarks/server.py            # 40 seconds, 8 clients
    python benchmarks/server.py --quick    # 4 seconds

Each request is one window, sent as the bytes of float32 numbers; each prediction is compared, bit by bit, with
that of one thread. A failed request counts as wrong, and with any wrong prediction the exit status is 1. The server
is Python's, with a thread for each client; PyTorch uses one thread. Memory is the growth of the process after the first
tenth of the time.
"""
import argparse, json, sys, threading, time
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
import numpy as np
import torch
from xceptiontime.models import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification
from xceptiontime.runtime import Predictor

SHAPE = 8,40 # channels and steps of a window, as in the sEMG recordings of the package
WINDOWS = 64 # number of different windows

def opened(X):
    "A Predictor from a model folder, with the default network"
    torch.manual_seed(0)
    p = Predictor(XceptionTime(SHAPE[0], 5, head='linear').eval(), Classification(range(5)), Preprocess().fit(X))
    with TemporaryDirectory() as d: return Predictor.from_pretrained(p.save_pretrained(Path(d)/'m'))

def handler(predictor):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1' # connections stay open
        def do_POST(self):
            data = self.rfile.read(int(self.headers['Content-Length']))
            x = np.frombuffer(data, np.float32).reshape(1, *SHAPE)
            answer = json.dumps(predictor.predict_proba(x)[0].tolist()).encode()
            self.send_response(200)
            self.send_header('Content-Length', str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        def log_message(self, *args): pass
    return Handler

def client(port, X, answers, end, counts):
    "Send random windows until `end`; records whether each prediction was right"
    rng,connection = np.random.default_rng(threading.get_ident()),HTTPConnection('127.0.0.1', port, timeout=30)
    while time.monotonic()<end:
        i = rng.integers(len(X))
        try:
            connection.request('POST', '/', X[i].tobytes())
            counts.append(json.loads(connection.getresponse().read())==answers[i])
        except (OSError, HTTPException, ValueError):
            counts.append(False)
            connection.close() # the next request opens it again

def resident():
    "Resident MB of this process; on Linux"
    return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS'))/1024

def measure(seconds, clients):
    X = np.random.default_rng(0).normal(size=(WINDOWS,*SHAPE)).astype(np.float32)
    predictor = opened(X)
    answers = [predictor.predict_proba(x[None])[0].tolist() for x in X]
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler(predictor))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    counts,end = [[] for _ in range(clients)],time.monotonic()+seconds
    args = [(server.server_port, X, answers, end, c) for c in counts]
    threads = [threading.Thread(target=client, args=a) for a in args]
    for t in threads: t.start()
    time.sleep(seconds/10)
    before = resident()
    for t in threads: t.join()
    after = resident()
    server.shutdown()
    return sum(counts, []),after-before

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--quick', action='store_true', help='4 seconds')
    p.add_argument('--clients', type=int, default=8, help='threads that ask (default: %(default)s)')
    args = p.parse_args()
    torch.set_num_threads(1)
    seconds = 4 if args.quick else 40
    right,grown = measure(seconds, args.clients)
    print(f'{args.clients} clients, {seconds} s: {len(right)/seconds:.0f} requests a second, '
          f'{len(right)-sum(right)} wrong answers, {grown:+.1f} MB')
    return int(not right or not all(right))

if __name__=='__main__': sys.exit(main())
