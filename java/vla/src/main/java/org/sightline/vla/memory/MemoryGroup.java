package org.sightline.vla.memory;

/** What a tensor is kept for. */
public enum MemoryGroup {
  /** Frozen parameters of the policy, and tables computed from them. */
  WEIGHTS("weights"),
  /** LoRA matrices A and B. */
  ADAPTERS("adapters"),
  /** {@code .grad} of what is trained; it stays between steps. */
  GRADIENTS("gradients"),
  /** AdamW's moments, and what bf16 parameters lack of fp32. */
  OPTIMIZER("optimizer"),
  /** Frozen parameters of the vision teacher. */
  TEACHER("teacher"),
  /** The alignment projectors. */
  PROJECTOR("projector"),
  /** Pixels, ids, masks, labels. */
  BATCH("batch"),
  /** Saved for the backward pass by the two vision transformers and the projector behind them. */
  VISION("saved: vision"),
  /** Saved for the backward pass by the decoder's blocks. */
  DECODER("saved: decoder"),
  /** Saved for the backward pass by the output head and the cross entropy. */
  LOGITS("saved: logits"),
  /** Hidden states kept for the alignment, beyond those that are saved anyway. */
  HIDDEN_STATES("kept hidden states"),
  /** What the alignment loss keeps. */
  ALIGNMENT("saved: alignment"),
  /** Alive for a moment only; of several moments the largest counts. */
  MOMENT("at the peak");

  private final String label;

  MemoryGroup(String label) {
    this.label = label;
  }

  /** As tables show it. */
  public String label() {
    return label;
  }
}
