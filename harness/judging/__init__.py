"""Judge a timeline: the objectives, the control arm, and when a run may stop early."""
