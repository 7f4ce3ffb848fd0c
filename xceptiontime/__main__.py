"The command `xceptiontime`, as `python -m xceptiontime`"
from xceptiontime.start import main

if __name__=='__main__': raise SystemExit(main())
