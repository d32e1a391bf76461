#!/bin/bash
# The router as a peer of a gateway benchmark: vibes.sh start | stop | env.
#   start  serves on PORT in front of http://127.0.0.1:$MOCK_PORT/v1, waits until it answers
#   env    prints PORT, URLPATH and HDRS ('A: b|C: d') for a load generator
# RUN         folder for the ledger, logs and vibes.pid (the session of all workers)  [<where this is called>/../.run]
# PEER_CORE   cores of the router [0]        WORKERS  processes, beside one that commits if more than 1 [1]
# LEDGER_URL  SQLAlchemy URL [a new SQLite file in RUN]      KEEP=1  goes on with the ledger that is there
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd); project=$(cd "$here/../.." && pwd)
RUN=${RUN:-$(cd "$(dirname "$0")/.." && pwd)/.run}; mkdir -p "$RUN"; RUN=$(cd "$RUN" && pwd); folder=$RUN/vibes
PORT=${PORT:-9910}; MOCK_PORT=${MOCK_PORT:-9900}; WORKERS=${WORKERS:-1}; python=${PYTHON:-$project/.venv/bin/python}
LEDGER_URL=${LEDGER_URL:-sqlite:///$folder/ledger.db}

alive() { kill -0 -- "-$1" 2>/dev/null; }

case $1 in
start)
  [ -n "$KEEP" ] || rm -f "$folder"/ledger.db*
  export PYTHONPATH=$project
  "$python" "$project/benchmarks/gateway_setup.py" "$folder" "http://127.0.0.1:$MOCK_PORT/v1" "$LEDGER_URL" || exit 1
  . "$folder/environment"
  serve="'$python' -m router.cli serve --port $PORT --log-level ${LOG_LEVEL:-warning}"
  setsid taskset -c "${PEER_CORE:-0}" bash -c "exec $serve --workers $WORKERS" >"$RUN/vibes.log" 2>&1 &
  echo $! >"$RUN/vibes.pid"
  for _ in $(seq 120); do
    (echo >"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && exit 0
    sleep 0.5
  done
  echo "the router did not start:" && cat "$RUN/vibes.log" && exit 1 ;;
stop)
  session=$(cat "$RUN/vibes.pid" 2>/dev/null) || exit 0
  kill -TERM -- "-$session" 2>/dev/null
  for _ in $(seq 20); do alive "$session" || break; sleep 0.5; done
  alive "$session" && kill -KILL -- "-$session"
  rm -f "$RUN/vibes.pid" ;;
env)
  echo "PORT=$PORT URLPATH=/v1/chat/completions HDRS='Authorization: Bearer $(cat "$folder/api.key")'" ;;
*)
  sed -n '2,7p' "$0"; exit 2 ;;
esac
