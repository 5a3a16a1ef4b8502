package org.sightline.vla.data.text;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.file.Sha256;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.tfrecord.DatasetFormatException;

/**
 * A Hugging Face {@code tokenizer.json} of Llama's kind, with the ids of their library: byte-pair
 * merges with byte fallback, so that any text can be encoded. Other models, normalisers and
 * templates are refused by name; padding, truncation and the decoder do not bear on the ids of a
 * prompt and are passed over.
 *
 * <p>{@link #open} reads any such file; {@link #embedded} the small one in this jar, which has the
 * structure of Llama 2's and ids below 768, for the nano preset.
 */
public final class HuggingFacePromptTokenizer implements PromptTokenizer {
  private static final String EMBEDDED = "nano-tokenizer.json";
  private static final String BOS = "<s>";
  private static final String EOS = "</s>";

  private final byte[] json;
  private final BytePairs model;
  private final WordStarts wordStarts;
  private final AddedTokens exactTokens; // Looked for before the normaliser's work, and after it.
  private final AddedTokens normalizedTokens;
  private final String pad; // or null
  private final long vocabularySize;
  private final long bosId;
  private final long eosId;
  private final long padId;
  private final OptionalLong wordStartId;

  private HuggingFacePromptTokenizer(byte[] json, JsonFields root) throws FormatException {
    this.json = json;
    model = BytePairs.read(root.object("model"));
    wordStarts = WordStarts.read(root);
    Map<String, Integer> ids = new HashMap<>(model.vocabulary());
    List<JsonFields> added = root.has("added_tokens") ? root.objects("added_tokens") : List.of();
    Map<String, Integer> exact = new HashMap<>();
    Map<String, Integer> normalized = new HashMap<>();
    for (JsonFields token : added) {
      String content = AddedTokens.read(token, ids);
      if (token.bool("normalized")) {
        normalized.put(wordStarts.normalized(content), ids.get(content));
      } else {
        exact.put(content, ids.get(content));
      }
    }
    exactTokens = new AddedTokens(exact);
    normalizedTokens = new AddedTokens(normalized);
    bosId = require(root, ids, BOS, "BOS");
    eosId = require(root, ids, EOS, "EOS");
    requireTemplate(root);
    // OpenVLA adds <PAD> right behind Llama's vocabulary; files from before that have none.
    pad = Stream.of("<PAD>", "<pad>").filter(ids::containsKey).findFirst().orElse(null);
    long largest = ids.values().stream().mapToLong(Integer::longValue).max().orElseThrow();
    padId = pad == null ? largest + 1 : ids.get(pad);
    vocabularySize = Math.max(largest, padId) + 1;
    Integer mark = ids.get(WordStarts.MARK);
    wordStartId = mark == null ? OptionalLong.empty() : OptionalLong.of(mark);
  }

  /**
   * Opens a {@code tokenizer.json}, or the one in a model folder.
   *
   * @throws IOException if it is missing, malformed or not of Llama's kind; the message says which
   */
  public static HuggingFacePromptTokenizer open(Path fileOrFolder) throws IOException {
    Path file =
        Files.isDirectory(fileOrFolder) ? fileOrFolder.resolve("tokenizer.json") : fileOrFolder;
    if (!InputFile.exists(file)) {
      throw new DatasetFormatException(
          file
              + ": no such file, expected a Hugging Face tokenizer.json"
              + (Files.isRegularFile(file.resolveSibling("tokenizer.model"))
                  ? " (a SentencePiece tokenizer.model alone is not enough)"
                  : ""));
    }
    JsonFields root = JsonFields.read(file);
    return new HuggingFacePromptTokenizer(InputFile.bytes(file), root);
  }

  /** Opens the tokenizer in this jar: about 700 ids, for the nano preset. */
  public static HuggingFacePromptTokenizer embedded() throws IOException {
    try (InputStream resource = HuggingFacePromptTokenizer.class.getResourceAsStream(EMBEDDED)) {
      if (resource == null) {
        throw new IOException("resource " + EMBEDDED + " is missing from the Sightline jar");
      }
      byte[] json = resource.readAllBytes();
      String text = new String(json, StandardCharsets.UTF_8);
      return new HuggingFacePromptTokenizer(json, JsonFields.of(Path.of(EMBEDDED), "", text));
    }
  }

  /** Writes the files from which transformers' {@code AutoTokenizer} makes this tokenizer. */
  public void write(Path folder) throws IOException {
    var config = new JsonObject();
    config.addProperty("tokenizer_class", "PreTrainedTokenizerFast");
    config.addProperty("bos_token", BOS);
    config.addProperty("eos_token", EOS);
    if (pad != null) {
      config.addProperty("pad_token", pad);
    }
    AtomicFile.writeText(
        folder.resolve("tokenizer.json"), new String(json, StandardCharsets.UTF_8));
    AtomicFile.writeText(folder.resolve("tokenizer_config.json"), config + "\n");
  }

  /** SHA-256 of its {@code tokenizer.json}. */
  public String digest() {
    MessageDigest digest = Sha256.begin();
    digest.update(json);
    return Sha256.hex(digest);
  }

  @Override
  public long[] encode(String text) {
    LongStream.Builder ids = LongStream.builder().add(bosId);
    for (AddedTokens.Piece exact : exactTokens.split(text)) {
      if (exact.isToken()) {
        ids.add(exact.id());
        continue;
      }
      for (AddedTokens.Piece piece : normalizedTokens.split(wordStarts.normalized(exact.text()))) {
        if (piece.isToken()) {
          ids.add(piece.id());
          continue;
        }
        boolean first = exact.start() == 0 && piece.start() == 0;
        wordStarts.words(piece.text(), first).forEach(word -> model.encode(word, ids));
      }
    }
    return ids.build().toArray();
  }

  @Override
  public long vocabularySize() {
    return vocabularySize;
  }

  @Override
  public long bosId() {
    return bosId;
  }

  @Override
  public long eosId() {
    return eosId;
  }

  @Override
  public long padId() {
    return padId;
  }

  @Override
  public OptionalLong wordStartId() {
    return wordStartId;
  }

  private static int require(JsonFields root, Map<String, Integer> ids, String token, String role)
      throws FormatException {
    Integer id = ids.get(token);
    if (id == null) {
      throw new FormatException(
          root.file(),
          "vocabulary",
          "no token '" + token + "'",
          "it as " + role + " of a Llama tokenizer");
    }
    return id;
  }

  /** Passes if the file puts nothing around a text but BOS, which comes in any case. */
  private void requireTemplate(JsonFields root) throws FormatException {
    if (!root.has("post_processor")) {
      return;
    }
    JsonFields processor = root.object("post_processor");
    processor.require("type", processor.text("type", null), "TemplateProcessing");
    List<String> parts = new ArrayList<>();
    for (JsonFields part : processor.objects("single")) {
      String kind = part.has("SpecialToken") ? "SpecialToken" : "Sequence";
      parts.add(part.object(kind).text("id"));
    }
    if (parts.equals(List.of(BOS, "A"))) {
      JsonFields bos = processor.object("special_tokens").object(BOS);
      if (!bos.longs("ids").equals(List.of(bosId))) {
        throw bos.wrong("ids", "[" + bosId + "]");
      }
    } else if (!parts.equals(List.of("A"))) {
      throw processor.wrong("single", BOS + " before the text, nothing behind it");
    }
  }
}
