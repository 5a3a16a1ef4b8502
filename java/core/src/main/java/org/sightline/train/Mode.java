package org.sightline.train;

/** How the vision side of a policy is treated during fine-tuning. */
public enum Mode {
  /** Plain fine-tuning: every adapter is trained on the action loss alone. */
  DEFAULT,
  /** As {@link #DEFAULT}, with the vision encoder locked: its adapters are not trained. */
  FREEZE,
  /** Every adapter is trained on action loss + λ · alignment loss. */
  ALIGN
}
