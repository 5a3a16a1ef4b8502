package org.sightline.vla.data.text;

import java.util.OptionalLong;

/** Turns prompts into token ids; what batches need to know of a tokenizer. */
public interface PromptTokenizer extends AutoCloseable {
  /** The ids of a text with BOS in front and no EOS. */
  long[] encode(String text);

  /** Number of ids, added tokens included; every id is smaller. */
  long vocabularySize();

  /** The id that starts every sequence. */
  long bosId();

  /** The id that ends every sequence. */
  long eosId();

  /** The id that fills batches on the right. */
  long padId();

  /**
   * The id of the lone word-start piece "▁" (29871 in Llama 2), which must precede action ids;
   * empty in vocabularies without one.
   */
  OptionalLong wordStartId();

  /** Frees what an implementation may hold outside of the heap. */
  @Override
  default void close() {}
}
