in vec3 v_world;
in vec3 v_normal;
in vec4 v_rest;
in float v_scalp;
uniform sampler2D u_mask_a;    // lip distance, brow across, brow along, beard
uniform sampler2D u_mask_b;    // wrinkles, eye bags, blush, moustache
uniform vec3 u_skin;
uniform vec3 u_lip;            // colour
uniform float u_lip_gloss;
uniform vec3 u_brow;
uniform vec2 u_brow_shape;     // thickness, density
uniform vec3 u_hair;
uniform float u_scalp_cover;   // undercoat of hair: 0 bald .. 1
uniform float u_recede;        // cm by which the hairline has moved up at the temples (hairgrow.receded)
uniform float u_fade;          // how much the undercoat thins towards sides and nape
uniform vec3 u_beard;          // colour
uniform vec4 u_beard_cover;    // density on cheeks and jaw, upper lip, chin; share that single roots make up (stubble)
uniform vec4 u_marks;          // blush, freckles, age, bags
uniform vec4 u_moles[3];
uniform vec3 u_person;         // noise offset
out vec4 f_colour;

void main() {
    vec3 rest = v_rest.xyz;
    vec2 uv = vec2((rest.x + 10.0) / 20.0, (rest.y + 14.0) / 28.0);
    float front = smoothstep(-1.0, 2.0, rest.z);
    vec4 a = texture(u_mask_a, uv);
    vec4 b = texture(u_mask_b, uv) * front;
    vec4 coarse = texture(u_noise, rest * 0.045 + u_person);
    vec4 fine = texture(u_noise, rest * 0.35 + u_person);
    vec3 skin = u_skin * (1.0 + 0.16 * (coarse.r - 0.5) + 0.10 * (fine.g - 0.5));
    float luma = dot(u_skin, vec3(0.3, 0.6, 0.1));
    skin *= mix(vec3(1.0), vec3(1.06, 0.80, 0.78), clamp(b.b * u_marks.x + 0.25 * (coarse.g - 0.5), 0.0, 1.0));
    float freckle = smoothstep(0.64, 0.72, texture(u_noise, rest * 0.16 + u_person.yzx).b) * b.b;
    skin *= mix(vec3(1.0), vec3(0.66, 0.52, 0.42), clamp(freckle * u_marks.y, 0.0, 1.0));
    skin *= mix(vec3(1.0), vec3(0.70, 0.60, 0.62), b.g * u_marks.w);
    skin *= mix(vec3(1.0), vec3(0.62, 0.52, 0.48), clamp(b.r * u_marks.z, 0.0, 1.0));
    for (int i = 0; i < 3; i++)
        skin *= mix(vec3(1.0), vec3(0.32, 0.22, 0.18), clamp(2.0 - 2.0 * distance(rest, u_moles[i].xyz) / max(u_moles[i].w, 1e-4), 0.0, 1.0));
    float gloss = 0.22 + 0.08 * coarse.b;
    float power = 16.0;
    float lip = smoothstep(0.10, -0.10, a.r) * step(6.0, rest.z);
    skin = mix(skin, u_lip * (0.9 + 0.2 * fine.r), lip);
    gloss = mix(gloss, u_lip_gloss, lip);
    power = mix(power, 26.0, lip);
    // brows: stroke texture across the arch, soft edges
    float stroke = texture(u_noise, vec3(rest.x * 0.42 + rest.y * 0.25, rest.y * 0.12, rest.z * 0.1) + u_person.zxy).a;
    float brow = smoothstep(1.0, 0.45, a.g / u_brow_shape.x + 0.5 * (stroke - 0.5)) * a.b * step(5.0, rest.z);
    skin = mix(skin, u_brow, brow * u_brow_shape.y);
    gloss *= 1.0 - brow;
    // undercoats of hair and beard
    float grain = texture(u_noise, rest * 1.1).g;
    float side = abs(rest.x);
    float temples = exp(-(side - 5.0) * (side - 5.0) / 4.84) + 0.35 * exp(-side * side / 16.0);
    float above = v_scalp - u_recede * temples * smoothstep(0.0, 4.0, rest.z);
    float hair = smoothstep(-0.1, 1.5, above + 0.5 * (fine.b - 0.5)) * u_scalp_cover;
    hair *= 1.0 - u_fade * smoothstep(9.0, 1.0, rest.y) * (1.0 - 0.5 * smoothstep(0.0, 4.0, above));
    hair = clamp(hair * (1.0 + 0.9 * (grain - 0.5) * (1.0 - hair)), 0.0, 1.0);   // single roots where it is thin
    skin = mix(skin, u_hair * (0.5 + 0.35 * grain), hair);
    float chin = smoothstep(3.4, 2.4, side) * smoothstep(-2.2, -3.2, rest.y) * smoothstep(6.5, 8.0, rest.z);
    float jaw = smoothstep(2.2, 3.8, rest.z - 0.9 * max(-5.5 - rest.y, 0.0));
    float beard = max(a.a * jaw * max(u_beard_cover.x, chin * u_beard_cover.z), b.a * u_beard_cover.y);
    float roots = smoothstep(0.35, 0.75, texture(u_noise, rest * vec3(1.7, 1.1, 1.7) + u_person).a);
    beard *= smoothstep(0.08, 0.35, a.r) * mix(0.9 + 0.2 * grain, 0.35 + 1.1 * roots, u_beard_cover.w);
    skin = mix(skin, u_beard, clamp(beard, 0.0, 0.95));
    gloss *= 1.0 - max(hair, beard) * 0.8;
    vec3 n = normalize(v_normal + 0.10 * (vec3(fine.r, fine.g, fine.b) - 0.5));
    if (!gl_FrontFacing) n = -n;
    vec3 wrap = vec3(0.38, 0.20, 0.14) * mix(0.6, 1.0, smoothstep(0.02, 0.3, luma));
    vec3 v = to_camera(v_world);
    f_colour = developed(shade(skin, v_world, n, v, v_rest.w, wrap, gloss, power), 1.0);
}
