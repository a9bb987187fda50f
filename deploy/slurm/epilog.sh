#!/usr/bin/env bash
# Epilog: lets Prometheus scrape the last state, then ends the monitor that prolog.sh started.
# Like a Prolog's, an Epilog's failure drains the node; this one always succeeds.

targets=${TRAINING_HEALTH_TARGETS:-/shared/training-health/targets}
unit=training-health-$SLURM_JOB_ID

if systemctl is-active --quiet "$unit"; then
    sleep "${TRAINING_HEALTH_LINGER_SECONDS:-30}"
    systemctl stop "$unit"
    rm -f "$targets/$SLURM_JOB_ID.json"
fi
exit 0
