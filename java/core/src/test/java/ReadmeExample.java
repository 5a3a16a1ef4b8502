import static org.bytedeco.pytorch.global.torch.randn;

import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.sightline.*;

public class ReadmeExample {
  public static void main(String[] args) {
    Sightline.load(); // before the first use of libtorch
    Tensor x = randn(2, 20, 192), teacher = randn(2, 16, 128), weight = randn(192, 192);
    try (AlignmentProjector projector = new AlignmentProjector(ProjectorConfig.of(192, 256, 128));
        AlignmentLoss alignment = new AlignmentLoss(projector);
        LoraLinear layer = new LoraLinear(weight, null, LoraConfig.of(32, 16), DType.FLOAT32, 1);
        AdamW adamW = new AdamW(List.of(layer.loraA(), layer.loraB()), AdamW.Config.defaults())) {
      for (int step = 0; step < 50; step++) {
        try (PointerScope scope = new PointerScope()) { // frees the step's tensors
          Tensor hidden = layer.forward(x); // [B,S,D]; image tokens at 1..16
          Tensor loss = alignment.forward(hidden, 1, teacher).loss();
          loss.mul(new Scalar(0.2)).backward(); // in a real step: actionLoss.add(…)
          adamW.step();
          System.out.println("alignment loss " + loss.item_float());
        }
      }
    }
  }
}
