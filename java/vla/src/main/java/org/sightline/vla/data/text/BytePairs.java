package org.sightline.vla.data.text;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;

/**
 * Byte-pair encoding as the {@code model} of Llama's {@code tokenizer.json} describes it: a word
 * starts as its characters, those without a token as the tokens of their UTF-8 bytes, and
 * neighbours merge in the order of a list. Every text can be encoded, and no other settings are
 * read than those.
 *
 * @param bytes ids of the tokens of bytes, by value
 * @param ranks places in the list of merges, by pairs of ids
 * @param merged ids by rank
 */
record BytePairs(
    Map<String, Integer> vocabulary,
    int[] bytes,
    Map<Long, Integer> ranks,
    int[] merged,
    boolean ignoreMerges) {
  private static final int GONE = -1;

  /** Tokens of bytes, by value. */
  private static final List<String> BYTES =
      IntStream.range(0, 256).mapToObj("<0x%02X>"::formatted).toList();

  /**
   * @throws FormatException naming a key with a value that Llama's files do not have, or a token
   *     that is missing
   */
  static BytePairs read(JsonFields model) throws FormatException {
    model.require("type", model.text("type", null), "BPE");
    model.require("byte_fallback", model.bool("byte_fallback", false), true);
    model.require("dropout", model.number("dropout", 0), 0.0);
    for (String affix : List.of("continuing_subword_prefix", "end_of_word_suffix")) {
      if (!model.text(affix, "").isEmpty()) {
        throw model.wrong(affix, "null");
      }
    }
    Map<String, Integer> vocabulary = vocabulary(model.object("vocab"));
    int[] bytes = new int[BYTES.size()];
    for (int value = 0; value < bytes.length; value++) {
      bytes[value] = token(model, "vocab", BYTES.get(value), vocabulary);
    }
    if (!(model.json().get("merges") instanceof JsonArray merges)) {
      throw model.wrong("merges", "a list");
    }
    Map<Long, Integer> ranks = new HashMap<>();
    int[] merged = new int[merges.size()];
    for (int rank = 0; rank < merged.length; rank++) {
      String key = "merges[" + rank + "]";
      List<String> pair = pair(model, key, merges.get(rank));
      int left = token(model, key, pair.get(0), vocabulary);
      int right = token(model, key, pair.get(1), vocabulary);
      merged[rank] = token(model, key, pair.get(0) + pair.get(1), vocabulary);
      ranks.put(pair(left, right), rank);
    }
    return new BytePairs(vocabulary, bytes, ranks, merged, model.bool("ignore_merges", false));
  }

  private static Map<String, Integer> vocabulary(JsonFields json) throws FormatException {
    Map<String, Integer> vocabulary = new HashMap<>();
    BitSet taken = new BitSet();
    int size = json.keys().size();
    for (String token : json.keys()) {
      int id = json.integer(token);
      if (id < 0 || id >= size || taken.get(id)) {
        throw json.wrong(token, "an id of its own below " + size + ", the number of tokens");
      }
      taken.set(id);
      vocabulary.put(token, id);
    }
    return vocabulary;
  }

  /** The two tokens of a merge, which older files write as one text with a space between. */
  private static List<String> pair(JsonFields model, String key, JsonElement merge)
      throws FormatException {
    List<String> pair = new ArrayList<>();
    if (merge instanceof JsonArray tokens) {
      for (JsonElement token : tokens) {
        pair.add(isText(token) ? token.getAsString() : null);
      }
    } else if (isText(merge)) {
      pair.addAll(List.of(merge.getAsString().split(" ", -1)));
    }
    if (pair.size() != 2 || pair.contains(null)) {
      JsonObject found = new JsonObject();
      found.add(key, merge);
      throw new JsonFields(model.file(), model.prefix(), found)
          .wrong(key, "two tokens, \"a b\" or [\"a\", \"b\"]");
    }
    return pair;
  }

  private static boolean isText(JsonElement element) {
    return element instanceof JsonPrimitive primitive && primitive.isString();
  }

  private static int token(
      JsonFields model, String key, String token, Map<String, Integer> vocabulary)
      throws FormatException {
    Integer id = vocabulary.get(token);
    if (id == null) {
      throw new FormatException(
          model.file(), model.prefix() + key, "no token \"" + token + "\"", "it in the vocabulary");
    }
    return id;
  }

  private static long pair(int left, int right) {
    return (long) left << Integer.SIZE | right;
  }

  /** Appends the ids of a word. Of the pairs that may merge, the first in the list is next. */
  void encode(String word, LongStream.Builder to) {
    if (ignoreMerges && vocabulary.containsKey(word)) {
      to.add(vocabulary.get(word));
      return;
    }
    int[] ids = word.codePoints().flatMap(this::start).toArray();
    int[] next = IntStream.rangeClosed(1, ids.length).toArray();
    int[] previous = IntStream.range(-1, ids.length - 1).toArray();
    // Ranks before places: among equal pairs the leftmost is the least.
    var queue = new PriorityQueue<Long>();
    for (int i = 1; i < ids.length; i++) {
      offer(queue, ids, i - 1, i);
    }
    while (!queue.isEmpty()) {
      long first = queue.remove();
      int at = (int) first;
      int id = merged[(int) (first >> Integer.SIZE)];
      int right = next[at];
      // What stood there may have merged with others since; the same token counts as the same pair.
      if (ids[at] < 0 || right == ids.length || id != merge(ids[at], ids[right])) {
        continue;
      }
      ids[at] = id;
      ids[right] = GONE;
      next[at] = next[right];
      if (next[at] < ids.length) {
        previous[next[at]] = at;
        offer(queue, ids, at, next[at]);
      }
      if (previous[at] >= 0) {
        offer(queue, ids, previous[at], at);
      }
    }
    Arrays.stream(ids).filter(id -> id != GONE).forEach(to::add);
  }

  private IntStream start(int codePoint) {
    String character = Character.toString(codePoint);
    Integer id = vocabulary.get(character);
    if (id != null) {
      return IntStream.of(id);
    }
    byte[] utf8 = character.getBytes(StandardCharsets.UTF_8);
    return IntStream.range(0, utf8.length).map(i -> bytes[utf8[i] & 0xFF]);
  }

  private void offer(PriorityQueue<Long> queue, int[] ids, int left, int right) {
    Integer rank = ranks.get(pair(ids[left], ids[right]));
    if (rank != null) {
      queue.add((long) rank << Integer.SIZE | left);
    }
  }

  /** What two neighbours merge to, or {@link #GONE}. */
  private int merge(int left, int right) {
    Integer rank = ranks.get(pair(left, right));
    return rank == null ? GONE : merged[rank];
  }
}
