"""What the operator sees of the router: metrics, traces and logs. Never prompts, answers or keys.

`record.CallRecord` collects what is known of a request while it is served; `observer.Observer` tells it,
once it has ended, to the metrics, to the log and, if they are switched on, to the traces.
"""
