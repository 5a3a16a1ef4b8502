package org.sightline.vla.data.text;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;

/**
 * Tokens that are found in a text before it is split further, such as {@code </s>}: from left to
 * right, of those that begin at one place the longest.
 */
final class AddedTokens {
  /**
   * A part of a text, not empty.
   *
   * @param start where it begins
   * @param id of an added token, -1 for text between them
   */
  record Piece(String text, int start, int id) {
    boolean isToken() {
      return id >= 0;
    }
  }

  private final Map<String, Integer> ids;
  private final List<Integer> lengths; // From the longest.

  AddedTokens(Map<String, Integer> ids) {
    this.ids = Map.copyOf(ids);
    lengths =
        ids.keySet().stream()
            .map(String::length)
            .distinct()
            .sorted(Comparator.reverseOrder())
            .toList();
  }

  /**
   * The text of an entry of {@code added_tokens}.
   *
   * @param vocabulary ids of all tokens so far; gets that of a new one
   * @throws FormatException naming the key of what Llama's files do not have
   */
  static String read(JsonFields token, Map<String, Integer> vocabulary) throws FormatException {
    String content = token.text("content");
    if (content.isEmpty()) {
      throw token.wrong("content", "the text of a token");
    }
    for (String flag : List.of("single_word", "lstrip", "rstrip")) {
      token.require(flag, token.bool(flag, false), false);
    }
    // What is new is numbered on from the vocabulary, by the tokenizers library whatever stands
    // here.
    int expected = vocabulary.getOrDefault(content, vocabulary.size());
    token.require("id", token.integer("id"), expected);
    vocabulary.put(content, expected);
    return content;
  }

  /** The parts of a text. */
  List<Piece> split(String text) {
    List<Piece> pieces = new ArrayList<>();
    int done = 0;
    int at = 0;
    while (at < text.length()) {
      int length = tokenAt(text, at);
      if (length == 0) {
        at++;
        continue;
      }
      addText(pieces, text, done, at);
      String token = text.substring(at, at + length);
      pieces.add(new Piece(token, at, ids.get(token)));
      at += length;
      done = at;
    }
    addText(pieces, text, done, at);
    return pieces;
  }

  /** The length of the token that begins there, or 0. */
  private int tokenAt(String text, int at) {
    for (int length : lengths) {
      if (length <= text.length() - at && ids.containsKey(text.substring(at, at + length))) {
        return length;
      }
    }
    return 0;
  }

  private static void addText(List<Piece> pieces, String text, int start, int end) {
    if (start < end) {
      pieces.add(new Piece(text.substring(start, end), start, -1));
    }
  }
}
