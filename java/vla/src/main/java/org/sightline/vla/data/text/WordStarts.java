package org.sightline.vla.data.text;

import java.util.List;
import java.util.Set;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;

/**
 * How a {@code tokenizer.json} of Llama's kind marks where words start: each space becomes "▁", and
 * one is put before a text. Older files say so as {@code normalizer}, which comes before the search
 * for some added tokens, newer ones as {@code pre_tokenizer}, which comes after.
 *
 * @param prepends whether the normaliser puts a mark before every text
 * @param replaces whether the normaliser replaces spaces
 * @param scheme {@code prepend_scheme} of the pre-tokeniser: which texts get a mark unless they
 *     begin with one; null without a pre-tokeniser
 * @param splits whether the pre-tokeniser splits a text before each mark
 */
record WordStarts(boolean prepends, boolean replaces, String scheme, boolean splits) {
  static final String MARK = "\u2581";
  private static final Set<String> SCHEMES = Set.of("first", "always", "never");

  /**
   * @throws FormatException naming the key of what Llama's files do not have
   */
  static WordStarts read(JsonFields root) throws FormatException {
    boolean prepends = false;
    boolean replaces = false;
    for (JsonFields step : steps(root)) {
      String type = step.text("type", "none");
      if (type.equals("Prepend") && !prepends) {
        step.require("prepend", step.text("prepend"), MARK);
        prepends = true;
      } else if (type.equals("Replace")) {
        JsonFields pattern = step.object("pattern");
        pattern.require("String", pattern.text("String", null), " ");
        step.require("content", step.text("content"), MARK);
        replaces = true;
      } else {
        throw step.wrong("type", "Prepend once and Replace, as Llama's tokenizer has them");
      }
    }
    String scheme = null;
    boolean splits = false;
    if (root.has("pre_tokenizer")) {
      JsonFields metaspace = root.object("pre_tokenizer");
      metaspace.require("type", metaspace.text("type", null), "Metaspace");
      metaspace.require("replacement", metaspace.text("replacement"), MARK);
      metaspace.require("add_prefix_space", metaspace.bool("add_prefix_space", true), true);
      scheme = metaspace.text("prepend_scheme", "always");
      if (!SCHEMES.contains(scheme)) {
        throw metaspace.wrong("prepend_scheme", "one of " + SCHEMES);
      }
      splits = metaspace.bool("split", true);
    } else if (!replaces) {
      throw root.wrong("normalizer", "one that replaces \" \" by \"" + MARK + "\"");
    }
    return new WordStarts(prepends, replaces, scheme, splits);
  }

  private static List<JsonFields> steps(JsonFields root) throws FormatException {
    if (!root.has("normalizer")) {
      return List.of();
    }
    JsonFields normalizer = root.object("normalizer");
    return normalizer.text("type", "").equals("Sequence")
        ? normalizer.objects("normalizers")
        : List.of(normalizer);
  }

  /** What the normaliser makes of a text. */
  String normalized(String text) {
    String marked = replaces ? text.replace(" ", MARK) : text;
    return prepends && !text.isEmpty() ? MARK + marked : marked;
  }

  /**
   * What the pre-tokeniser makes of a normalised text.
   *
   * @param first whether it begins where the text of the user does
   */
  List<String> words(String text, boolean first) {
    if (scheme == null) {
      return List.of(text);
    }
    String marked = text.replace(" ", MARK);
    if (!marked.startsWith(MARK) && (scheme.equals("always") || scheme.equals("first") && first)) {
      marked = MARK + marked;
    }
    return splits ? List.of(marked.split("(?=" + MARK + ")")) : List.of(marked);
  }
}
